"""Tables, columns and indexes of the embedded queue database.

The "split" layout: of a job, what is searched and sorted by are columns; the document without its inputs
(the *head*) is JSON text, about a kilobyte; the inputs are a table of their own. A change of state rewrites
the head only, and a listing reads columns only. Which job waits for which is a table of *edges*, so that
completing a job touches its children and nothing else: "is any edge to this child still open" is one look
into an index, however wide the fan-in.
"""

from __future__ import annotations

from jobflow_remote.queuedb.filters import Column, Mapped

SCHEMA_VERSION = 3

JOB_COLUMNS: dict[str, Column] = {
    "db_number": Column("db_number", "number"),
    "uuid": Column("uuid"),
    "index": Column("idx", "number"),
    "db_id": Column("db_id"),
    "flow_uuid": Column("flow_uuid"),
    "state": Column("state"),
    "worker": Column("worker"),
    "job.name": Column("name"),
    "priority": Column("priority", "number"),
    "created_on": Column("created_on", "date"),
    "updated_on": Column("updated_on", "date"),
    "start_time": Column("start_time", "date"),
    "end_time": Column("end_time", "date"),
    "previous_state": Column("previous_state"),
    "claim": Column("claim"),
    "lock_id": Column("lock_id"),
    "lock_time": Column("lock_time", "date"),
    "remote.retry_time_limit": Column("retry_at", "date"),
    "remote.process_id": Column("process_id", "scalar"),
    "superseded": Column("superseded", "bool"),
}
"""Field of a job document → the column that repeats it."""

FLOW_COLUMNS: dict[str, Column] = {
    "uuid": Column("uuid"),
    "name": Column("name"),
    "state": Column("state"),
    "created_on": Column("created_on", "date"),
    "updated_on": Column("updated_on", "date"),
    "db_number": Column("db_number", "number"),
    "n_jobs": Column("n_jobs", "number"),
    "leaves": Column("leaves", "number"),
    "leaves_completed": Column("leaves_completed", "number"),
}
"""Field of a flow document → the column that holds it (the head does not repeat it)."""

COMPOSED = ("jobs", "ids", "parents")
"""Fields of a flow document that are put together from its jobs when somebody asks for them."""

JOBS = Mapped(JOB_COLUMNS, text="head", outside=("job.function_args", "job.function_kwargs"))
FLOWS = Mapped(FLOW_COLUMNS, text="head", outside=COMPOSED, beside=("counts",))

TABLES = """
CREATE TABLE jobs (
    db_number INTEGER PRIMARY KEY,
    uuid NOT NULL, idx NOT NULL, db_id NOT NULL, flow_uuid NOT NULL, state NOT NULL, worker NOT NULL, name,
    priority NOT NULL, created_on NOT NULL, updated_on NOT NULL, start_time, end_time, previous_state,
    claim, lock_id, lock_time, retry_at, process_id, superseded NOT NULL,
    share NOT NULL,     -- what processes of one role share the jobs by
    tolerant NOT NULL,  -- may run without an output that will never exist
    latest NOT NULL,    -- the highest index of its uuid that is not superseded
    leaf NOT NULL,      -- latest, not superseded, and nobody's parent within its flow
    head TEXT NOT NULL
);
CREATE TABLE job_bodies (db_number INTEGER PRIMARY KEY, body NOT NULL);
CREATE TABLE edges (
    parent NOT NULL,    -- uuid; the job need not exist
    child INTEGER NOT NULL,     -- db_number (of the same affinity, or joins could not use an index)
    position NOT NULL,  -- in the child's list of parents
    tolerant NOT NULL, settled NOT NULL,
    PRIMARY KEY (parent, child)
) WITHOUT ROWID;
CREATE TABLE flows (
    pk INTEGER PRIMARY KEY,
    uuid NOT NULL, name, state NOT NULL, created_on NOT NULL, updated_on NOT NULL, db_number,
    n_jobs NOT NULL, leaves NOT NULL, leaves_completed NOT NULL, counts TEXT NOT NULL,
    head TEXT NOT NULL
);
CREATE TABLE auxiliary (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE session (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token NOT NULL, owner TEXT NOT NULL, started_on NOT NULL, renewed_on NOT NULL, expires_on NOT NULL,
    stop_requested
);
CREATE UNIQUE INDEX jobs_uuid ON jobs(uuid, idx);
CREATE UNIQUE INDEX jobs_db_id ON jobs(db_id);
CREATE INDEX jobs_claim ON jobs(state, worker, priority DESC, created_on);
CREATE INDEX jobs_state ON jobs(state, updated_on);
CREATE INDEX jobs_updated ON jobs(updated_on);
CREATE INDEX jobs_worker ON jobs(worker, updated_on);
CREATE INDEX jobs_flow ON jobs(flow_uuid, state);
CREATE INDEX jobs_name ON jobs(name);
CREATE INDEX jobs_retry ON jobs(retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX jobs_locked ON jobs(lock_id) WHERE lock_id IS NOT NULL;
CREATE INDEX edges_child ON edges(child, settled, position);
CREATE UNIQUE INDEX flows_uuid ON flows(uuid);
CREATE INDEX flows_state ON flows(state, updated_on, db_number);
CREATE INDEX flows_updated ON flows(updated_on, db_number);
CREATE INDEX flows_name ON flows(name);
CREATE INDEX flows_number ON flows(db_number);
INSERT INTO auxiliary VALUES ('next_id', '1');
"""

_BATCHES = """
CREATE TABLE batches (
    pk INTEGER PRIMARY KEY,
    batch_uid NOT NULL, process_id, batch_state NOT NULL, worker NOT NULL,
    head TEXT NOT NULL
);
CREATE UNIQUE INDEX batches_uid ON batches(batch_uid);
CREATE INDEX batches_worker ON batches(worker, batch_state);
"""

_CREATED = """
CREATE INDEX jobs_created ON jobs(created_on);
CREATE INDEX flows_created ON flows(created_on, db_number);
"""

STEPS = {0: (TABLES, _BATCHES, _CREATED), 1: (_BATCHES, _CREATED), 2: (_CREATED,)}
"""Version of a file → what brings it to the present one (0: it is new)."""
