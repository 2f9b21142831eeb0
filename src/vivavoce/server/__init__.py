"""The lab server: one profile, then its environment, files, jobs, notebooks and GPUs, all over the user's own SSH."""
