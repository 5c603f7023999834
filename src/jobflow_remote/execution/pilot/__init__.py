"""The pilot of a batch worker: a long job of the scheduler that runs many of ours.

Runner and pilots meet in the worker's ``jobs_handle_dir`` and nowhere else. Whatever happens there happens by renaming,
so that each moment has one truth, whoever is killed:

``new/``
    bundles of jobs that nobody has;
``taken/<pilot>/``
    bundles of one pilot: the rename that takes a bundle succeeds for one pilot only, and not at all for a pilot that
    was declared dead, because then the folder is gone;
``dead/<pilot>…``
    what a dead pilot had: the runner looks at each job once and gives it back;
``reports/``
    what pilots have to tell, read and removed by the runner;
``pilots/``
    a sign of life of each pilot;
``stop/``
    attempts that are to be ended.

A job itself is fenced by a file in its run folder that the process which runs it creates exclusively; whoever creates
it in its place has taken the job back for good.
"""
