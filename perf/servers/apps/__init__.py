"""The applications that the Python peers run, in processes of their own."""
