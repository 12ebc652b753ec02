"""What every long computation stands on: stage folders, files, processes, screens, the hub.

- `store`: a product is made once, kept under a digest of what it was made from, and found again
- `files`: paths as people type them, written beside and renamed
- `processes`: one process or several (`torchrun`), and what only the first one says
- `bars`, `console`: progress where somebody watches, text that any terminal can show
- `pinned`: files that others publish, fetched and checked by digest
- `hub`: one question before a download, and what to do where the answer is no

Nothing here knows what is studied.
"""
