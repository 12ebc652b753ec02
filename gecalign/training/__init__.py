"""The three methods through TRL: what differs between them is what differs between these files.

- `sft`, `dpo`, `grpo`: a method each: its rows, its trainer, its facts
- `loop`: what they share: dev BLEU, the best checkpoint, resuming, the log
- `setup`: how a run is set up: how the model is asked, by what means, with which seed, and where it writes
- `health`: trainings that break or teach nothing
- `sampling`, `vllm_sampling`: many samples of a model
"""
