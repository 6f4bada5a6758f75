"""The report of a transfer study: its runs as numbers, pictures, a table and one page; knows no files."""
