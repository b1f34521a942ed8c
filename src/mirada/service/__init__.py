"""The service: predictions over HTTP, jobs of many images over a task queue, and a page for both."""
