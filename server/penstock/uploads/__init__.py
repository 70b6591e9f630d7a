"""Uploads: resumable, and durable before they are acknowledged."""
