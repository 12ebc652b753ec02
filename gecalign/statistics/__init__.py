"""Is one system better than another, and could this test set show it?

- `compare`: intervals, differences, equivalence, for one run of each system
- `resampling`: the draws behind them: bootstrap, approximate randomization, jackknife
- `design`: the smallest visible effect, power, sentences needed, the luck of choosing
- `seeds`: the two-way interval over seeds and sentences, for several runs of each
"""
