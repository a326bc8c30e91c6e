"""Images, charts and HTML pages for people."""
