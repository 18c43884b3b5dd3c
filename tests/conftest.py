"""Its being here puts this folder on the path: tests in any folder below can import record_factory."""
