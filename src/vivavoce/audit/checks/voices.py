"""The check for one speaker's name on another's voice."""

from collections.abc import Iterator

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.data import Data, recordings
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check
from vivavoce.audit.voices import find_voice_outliers


@check(
    Severity.WARNING,
    Needs.VOICES,
    looks_for="recordings whose voice is not that of the speaker they name",
    mend="Listen to them and correct the label or take them out; one wrong label in a hundred already costs accuracy.",
)
def other_voice(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find embeddings that lie far from the others of their speaker."""
    voices = data.embeddings
    if voices is None:
        return
    outliers = find_voice_outliers(voices.vectors, voices.speakers)
    files = data.files_of(
        (int(voices.numbers[one.index]), f"like {one.speaker} ({one.other:.2f}), own {one.own:.2f}", None)
        for one in outliers
    )
    if files:
        what = f"The voice is nearer to another speaker's than to its own speaker's: {recordings(len(files))}."
        yield Found(files, what, {"recordings": len(files), "heard": len(voices.numbers)})
