"""From scores to log-likelihood ratios and thresholds, fitted on the validation split and kept with the run."""
