"""Sentences and their corrections: from files, the hub or a grammar to examples in splits.

- `examples`, `edits`: what one is: source, reference, demonstration, and the edits between them
- `data`: a corpus is built, cleaned, split and kept; what is dropped is counted
- `corpora`, `rowfiles`, `m2`, `textfiles`, `cells`: files as people have them
- `sentences`, `texts`, `tokens`: how a sentence is written, its words, tokenised text and back
- `jfleg`: real sentences, fetched from where they are published
- `tinygec`: a grammar that writes a corpus of learners' errors, its annotators, and the base that ships with it
"""
