"""The user's output store: documents and blobs that jobs leave, references to them, and the files they travel in.

jobflow and maggma are imported on first use, so that what only looks at jobs never pays for them.
"""
