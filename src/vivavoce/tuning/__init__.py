"""Tuning: which hyper-parameters do best on the validation split, and whether that says more than chance."""
