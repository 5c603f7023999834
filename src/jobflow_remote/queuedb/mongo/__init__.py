"""The queue database on a MongoDB server, which the runner, laptops and the GUI of a group reach."""

from __future__ import annotations

from jobflow_remote.queuedb.mongo.database import MongoQueueDatabase

__all__ = ["MongoQueueDatabase"]
