"""The voice front ends that other toolkits' weights were trained with, as keys of ``front_end.voice``.

Sources: WeSpeaker `dataset/processor.py` (compute_fbank, whose waveforms are 16-bit codes; apply_cmvn),
3D-Speaker `speakerlab/process/processor.py` (FBank, whose waveforms are not), SpeechBrain `lobes/features.py` (Fbank)
with `processing/features.py`, TaoRuijie's ECAPA-TDNN `model.py`.
"""

from typing import Any

# The normalisation behind each of them: the utterance's own mean is subtracted.
PEER_VOICE_NORM: dict[str, Any] = {"type": "utterance", "variance": False}
PEER_FRONT_ENDS: dict[str, dict[str, Any]] = {
    "wespeaker": {"type": "fbank", "window": "hamming", "snip_edges": True, "scale": 32768.0},
    "3dspeaker": {"type": "fbank", "window": "povey", "snip_edges": True, "scale": 1.0},
    "speechbrain": {"type": "melspec"},
    "tao": {
        **{"type": "melspec", "n_fft": 512, "ends": "mirror", "preemphasis": 0.97},
        **{"low_freq": 20.0, "high_freq": 7600.0, "even_triangles": False},
        **{"unit": "nepers", "floor": 1e-6, "floor_added": True, "top_db": None},
    },
}
