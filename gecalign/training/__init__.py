"""The three methods through TRL: what differs between them is what differs between these files.

- `sft`, `dpo`, `grpo`, `rloo`: a method each, as `train(...)`, and as the `trainer(...)` of TRL that it runs
- `setup`: how a run is set up: how the model is asked, by what means, with which seed, and where it writes
- `online`, `watched`: what methods share that learn from their own samples; the KL divergence in their log
- `rows`, `groups`: what is trained on
- `loop`: what they share: dev BLEU, the best checkpoint, resuming, the log; `arguments`: what TRL is told
- `health`, `estimates`: trainings that break or teach nothing; how long one will take
- `sampling`, `vllm_sampling`: many samples of a model
"""
