"""Whether a project works: workers, output stores, queue database, project file; each failure with cause and fix."""
