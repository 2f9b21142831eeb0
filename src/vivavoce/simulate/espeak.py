"""espeak-ng in this process, through its C library: samples and the phonemes' own times.

The library (GPL-3.0) is loaded at run time from the optional package ``espeakng_loader``. Its state is global: one
thread of one process uses it. Structures follow its ``speak_lib.h``.
"""

import _ctypes
import ctypes
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vivavoce.errors import UserError
from vivavoce.simulate.phonemes import SILENCE, Phone, espeak_to_arpabet

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_SYNCHRONOUS
_PHONEME_EVENTS = 1  # espeakINITIALIZE_PHONEME_EVENTS
_EVENT_END, _EVENT_PHONEME = 0, 7  # espeak_EVENT_TYPE
_SEED = 1
_UTF8 = 1  # espeakCHARS_UTF8
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class VoiceSettings:
    """How espeak speaks: voice name (``en-us+m3``), words a minute, pitch and its range (0–99; 50: the voice's)."""

    voice: str
    words_per_minute: int = 175
    pitch: int = 50
    pitch_range: int = 50


def synthesize(text: str, settings: VoiceSettings) -> tuple[np.ndarray, int, list[Phone]]:
    """Speak ``text``: float32 samples (samples,) in [-1, 1], rate in Hz, and phones that cover them without gap.

    Raises:
        UserError: espeak-ng is not installed or has no such voice.
    """
    return _engine().speak(text, settings)


def restart() -> None:
    """Forget all that was spoken: what follows is then the same as in a new process.

    espeak's waves and times depend a little on what it said before, through variables that nothing resets.
    """
    if _engine.cache_info().currsize:
        _engine().close()
    _engine.cache_clear()


def available() -> bool:
    """Tell whether espeak-ng is installed."""
    return find_spec("espeakng_loader") is not None


class _Engine:
    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise UserError(
                'Synthetic voices need espeak-ng, which is not installed; run: pip install "vivavoce[voices]".'
            ) from error
        self._library = _own_copy(Path(espeakng_loader.get_library_path()))
        self._c_library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        data = str(espeakng_loader.get_data_path()).encode()
        self._rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS))
        if self._rate <= 0:
            raise UserError(
                'espeak-ng does not start; install it anew: pip install --force-reinstall "vivavoce[voices]".'
            )
        self._blocks: list[np.ndarray] = []
        self._events: list[tuple[int, str]] = []
        # Kept as an attribute: the library holds only a bare pointer.
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def close(self) -> None:
        """Stop the library and take it out of memory: a new copy of it is loaded for the next engine."""
        self._library.espeak_Terminate()
        if sys.platform == "win32":
            _ctypes.FreeLibrary(self._library._handle)
        else:
            _ctypes.dlclose(self._library._handle)

    def _collect(self, wave, count: int, events) -> int:
        if wave and count:
            self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        position = 0
        while events[position].type != _EVENT_END:
            if events[position].type == _EVENT_PHONEME:
                self._events.append((events[position].sample, events[position].id.string.decode("utf-8", "replace")))
            position += 1
        return 0

    def speak(self, text: str, settings: VoiceSettings) -> tuple[np.ndarray, int, list[Phone]]:
        # The voice first: setting it resets the parameters.
        if self._library.espeak_SetVoiceByName(settings.voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice {settings.voice!r}; `espeak-ng --voices=variant` lists them.")
        values = ((_RATE, settings.words_per_minute), (_PITCH, settings.pitch), (_RANGE, settings.pitch_range))
        for parameter, value in values:
            self._library.espeak_SetParameter(parameter, int(value), 0)
        # Breath and hiss: some come from espeak's own generator, some from the C library's.
        self._library.espeak_ng_SetRandSeed(_SEED)
        self._c_library.srand(_SEED)
        self._blocks.clear()
        self._events.clear()
        spoken = text.encode("utf-8")
        self._library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken) + 1), 0, 0, 0, _UTF8, None, None)
        samples = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        wave = samples.astype(np.float32) / 32768.0
        return wave, self._rate, _phones(self._events, len(wave), self._rate)


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    return _Engine()


def _own_copy(library: Path) -> ctypes.CDLL:
    """Load a library from a copy of its file, so that the loader does not give an old one with its old state."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            return ctypes.CDLL(shutil.copy(library, folder))
        except OSError as error:
            raise UserError(
                f"espeak-ng's library {library} cannot be loaded ({error}); "
                'install it anew: pip install --force-reinstall "vivavoce[voices]".'
            ) from error


def _phones(events: list[tuple[int, str]], samples: int, rate: int) -> list[Phone]:
    """Turn phoneme events (where each begins) into phones; a mark without a sound lengthens what precedes it."""
    begun = [(at, espeak_to_arpabet(mnemonic)) for at, mnemonic in events]
    begun = [(min(at, samples), names) for at, names in begun if names]
    if not begun or begun[0][0] > 0:
        begun.insert(0, (0, (SILENCE,)))
    ends = [at for at, _ in begun[1:]] + [samples]
    phones: list[Phone] = []
    for (start, names), end in zip(begun, ends, strict=True):
        edges = np.linspace(start, max(start, end), len(names) + 1) / rate
        phones += [Phone(n, float(a), float(b)) for n, a, b in zip(names, edges, edges[1:], strict=False) if b > a]
    return phones
