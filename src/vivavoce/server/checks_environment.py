"""Checks of the GPUs, and of the environment with torch and vivavoce that is to use them."""

from collections.abc import Iterator

from vivavoce.server.probe import Facts, version_of
from vivavoce.server.profile import Profile
from vivavoce.server.rows import Row, Status

# The least driver of each CUDA, from https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
NEWEST_CUDA = 13  # that of torch on PyPI from 2.11 on
OLDER_TORCH = "--pip-option=--extra-index-url=https://download.pytorch.org/whl/cu126"


def driver(profile: Profile, facts: Facts, name: str) -> Row:
    """The GPUs, and whether their driver is new enough for the torch that is there or would be installed."""
    failed = facts.get("gpu_failed")
    if failed:
        return Row("GPU", Status.BAD, f"nvidia-smi fails: {failed}", "ask who runs the server; a reboot often mends it")
    gpus = [line.split(", ", 1) for line in facts.lines.get("gpu", [])]
    if not gpus:
        if profile.slurm is not None:
            return Row("GPU", Status.OK, "none on the login node; Slurm gives jobs theirs")
        return Row("GPU", Status.WARN, "none: nvidia-smi not found", "training here would run on the CPU")
    driver = gpus[0][0]
    models = sorted({gpu[-1] for gpu in gpus})
    found = f"{len(gpus)} × {', '.join(models)}, driver {driver}, CUDA {facts.get('cuda') or '?'}"
    if not facts.get("environment") and _too_old(driver, NEWEST_CUDA):
        mend = f"torch on PyPI needs driver {LEAST_DRIVER[NEWEST_CUDA]}: `vivavoce server setup {name} {OLDER_TORCH}`"
        chosen = any("download.pytorch.org" in option for option in profile.environment.pip_options)
        return Row("GPU", Status.OK if chosen else Status.WARN, found, "" if chosen else mend)
    return Row("GPU", Status.OK, found)


def _too_old(driver: str, cuda: int) -> bool:
    return version_of(driver) < (LEAST_DRIVER.get(cuda, 0),)


def environment(facts: Facts, name: str, commit: str | None) -> Iterator[Row]:
    """The environment that is there, its torch, and whether its vivavoce is at the commit that is in use here."""
    setup = f"`vivavoce server setup {name}`"
    if not facts.get("env_python"):
        broken = "broken: its Python does not start" if facts.get("environment") else "not made yet"
        yield Row("environment", Status.BAD if facts.get("environment") else Status.WARN, broken, setup)
        return
    yield _torch(facts, setup)
    there = str(facts.stamp.get("commit", ""))
    if not facts.get("env_vivavoce"):
        yield Row("vivavoce", Status.BAD, facts.get("env_vivavoce_failed") or "not installed", setup)
    elif not there:
        found = f"{facts.get('env_vivavoce')}, not by `vivavoce server setup`"
        yield Row("vivavoce", Status.WARN, found, f"make sure of the commit with {setup}")
    elif commit and there.partition("+")[0] != commit:
        yield Row("vivavoce", Status.WARN, f"at {there[:12]}, and here at {commit[:12]}", setup)
    else:
        yield Row(
            "vivavoce", Status.OK, f"{facts.get('env_vivavoce')} at {there[:12]}{' with changes' * ('+' in there)}"
        )


def _torch(facts: Facts, setup: str) -> Row:
    version, cuda, seen = facts.get("env_torch"), facts.get("env_cuda"), facts.get("env_gpus")
    gpus = [line.split(", ", 1) for line in facts.lines.get("gpu", [])]
    if not version:
        return Row("torch", Status.BAD, facts.get("env_torch_failed") or "cannot be imported", setup)
    found = f"{version}, {f'CUDA {cuda}' if cuda else 'without CUDA'}"
    if not gpus or seen not in ("", "0"):
        return Row("torch", Status.OK, f"{found}, sees {seen or 0} GPUs" if gpus else found)
    again = setup.rstrip("`") + f" --again {OLDER_TORCH}`"
    if not cuda:
        return Row("torch", Status.BAD, f"{found}, beside {len(gpus)} GPUs", f"install one for CUDA: {again}")
    major = version_of(cuda)[0]
    if _too_old(gpus[0][0], major):
        mend = f"CUDA {major} needs driver {LEAST_DRIVER[major]} or newer: ask for it, or {again}"
        return Row("torch", Status.BAD, f"{found}, with driver {gpus[0][0]}", mend)
    return Row("torch", Status.BAD, f"{found}, sees none of {len(gpus)} GPUs", "see CUDA_VISIBLE_DEVICES there, or ask")
