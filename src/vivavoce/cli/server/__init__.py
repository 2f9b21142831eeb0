"""`vivavoce server`: the lab server, from its profile to its GPUs."""

import typer

from vivavoce.cli.server import environment, files, gpus, jobs, notebook, profiles

app = typer.Typer(
    no_args_is_help=True, help="Work on a GPU server over SSH: environment, files, jobs, notebooks, GPUs."
)
app.command("add")(profiles.add)
app.command("list")(profiles.list_)
app.command("remove")(profiles.remove)
app.command("check")(environment.check)
app.command("setup")(environment.setup)
app.command("push")(files.push)
app.command("pull")(files.pull)
app.command("run")(jobs.run)
app.command("jobs")(jobs.jobs)
app.command("log")(jobs.log)
app.command("stop")(jobs.stop)
app.command("notebook")(notebook.notebook)
app.command("tensorboard")(notebook.tensorboard)
app.command("gpus")(gpus.gpus)
