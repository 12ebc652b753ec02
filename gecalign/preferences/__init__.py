"""What is preferred to what: rewards, pairs made by them, and a check that both ways of sampling earn the same.

- `rewards`: a metric as a reward for TRL and for ranking; weighted sums of them
- `pairs`: samples to preference pairs, and how many are lost at each step
- `reward_check`: the rewards of a frozen model, drawn by our decoder and through GRPO's trainer
"""
