"""One module for each page: what it reads, as plain data (also the answer as JSON), and how it looks."""
