"""A warm process that starts jobs as forks of itself: jobflow is imported once, and a job costs milliseconds.

Each job is a process with a folder, output files, an environment and an exit status of its own, as if a script had
started it. Standard library and ``execution`` only; the server is single-threaded, or it could not be forked safely.

``order``
    what is asked for: one job, or a signal to one;
``channel``
    how orders and answers travel: lines of JSON over a pair of descriptors;
``child``
    what a process is made into, between the fork and the job;
``reused``
    a child that runs one job after the other;
``server``, ``client``
    the two ends.
"""
