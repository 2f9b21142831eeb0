import pytest
import torch

from vivavoce.objectives.teacher import MotionTeacher

TAUGHT, CHANNELS, FRAMES, WINDOW = 4, 8, 60, 10


@pytest.mark.parametrize("wrong", ["voice", "echo"])
def test_each_stream_is_held_against_the_motion_and_not_against_itself(wrong: str) -> None:
    torch.manual_seed(0)
    teacher = MotionTeacher(3, CHANNELS, WINDOW)
    motion = torch.randn(TAUGHT, 2 * FRAMES, 3)
    mask = torch.ones(TAUGHT, FRAMES, dtype=torch.bool)
    with torch.no_grad():
        own = teacher.encoder(motion.transpose(1, 2))
        own = own - own.mean(dim=2, keepdim=True)
        streams = {"voice": own, "echo": own}
        right = teacher(**streams, motion=motion, mask=mask)
        strange = teacher(**(streams | {wrong: own.roll(1, dims=0)}), motion=motion, mask=mask)
    assert strange > right + 1.0
