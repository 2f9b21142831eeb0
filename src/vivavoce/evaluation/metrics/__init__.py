"""Error rates and costs, each from scores, and from rates of resampled trials."""
