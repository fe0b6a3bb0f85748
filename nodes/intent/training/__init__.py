"""How understanding is learnt: `corpus.py` gathers sentences, `fit.py` fits classifiers, `score.py` judges."""
