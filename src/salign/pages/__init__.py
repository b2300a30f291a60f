"""The HTML pages: sections, tiles, tables, pictures."""
