# What a server has, as lines of `key<TAB>value`; changes nothing but for one small file in the folder of temporary
# files, which is removed at once. Arguments: the environment's folder, an interpreter to look at besides the usual ones
# or nothing, then the folders whose disks are asked for.
environment=$1 interpreter=$2
shift 2

tell() {
    printf '%s\t%s\n' "$1" "$2"
}

if command -v timeout >/dev/null 2>&1; then
    limited() { timeout "$@"; }
else
    limited() { shift; "$@"; }
fi

first_line() {
    sed -n '/[^[:space:]]/{p;q;}'
}

# The first of the places where a program is, on PATH or off it.
find_program() {
    for place in "$@"; do
        found=$(command -v "$place" 2>/dev/null) && { printf '%s\n' "$found"; return; }
    done
    return 1
}

system() {
    tell home "$HOME"
    tell shell "${SHELL:-}"
    tell user "$(id -un)"
    tell host "$(hostname 2>/dev/null || uname -n)"
    tell os "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null || true)"
    tell kernel "$(uname -s)"
    tell arch "$(uname -m)"
    tell cores "$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
    tell memory_kib "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null || true)"
    tell tmpdir "${TMPDIR:-/tmp}"
}

# Whether files in the folder of temporary files may be run: builds of packages need that.
temporary() {
    file=$(mktemp 2>/dev/null) || { tell tmp unwritable; return; }
    printf '#!/bin/sh\nexit 0\n' >"$file" && chmod 700 "$file" && "$file" 2>/dev/null && tell tmp ok || tell tmp noexec
    rm -f "$file"
}

pythons() {
    for python in ${interpreter:+"$interpreter"} python3 python3.14 python3.13 python3.12 python3.11 "$HOME/miniconda3/bin/python" \
        "$HOME/miniforge3/bin/python" "$HOME/anaconda3/bin/python" /opt/conda/bin/python; do
        version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) &&
            tell python "$version $python"
    done
}

# A folder that is not there yet will lie on the disk of its nearest parent.
disk() {
    folder=$1
    while [ ! -d "$folder" ]; do
        case $folder in
            /*/*) folder=${folder%/*} ;;
            /*) folder=/ ;;
            */*) folder=${folder%/*} ;;
            *) folder=. ;;
        esac
    done
    tell disk "$1"
    tell disk_parent "$folder"
    tell disk_space "$(df -Pk "$folder" 2>/dev/null | tail -n 1)"
    tell disk_inodes "$(df -Pi "$folder" 2>/dev/null | tail -n 1)"
    if [ -w "$folder" ]; then tell disk_writable yes; else tell disk_writable no; fi
}

tools() {
    if uv=$(find_program uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"); then
        tell uv "$("$uv" --version 2>&1 | first_line) ($uv)"
    fi
    if conda=$(find_program conda mamba micromamba "${CONDA_EXE:-conda}" "$HOME/miniforge3/bin/conda" \
        "$HOME/miniconda3/bin/conda" "$HOME/anaconda3/bin/conda" /opt/conda/bin/conda "$HOME/.local/bin/micromamba"); then
        tell conda "$(limited 30 "$conda" --version 2>&1 | first_line) ($conda)"
    fi
    command -v rsync >/dev/null 2>&1 && tell rsync "$(rsync --version 2>&1 | first_line)"
    command -v tar >/dev/null 2>&1 && tell tar yes
    command -v tmux >/dev/null 2>&1 && tell tmux "$(tmux -V 2>&1 | first_line)"
    if command -v systemd-run >/dev/null 2>&1; then
        tell linger "$(limited 5 loginctl show-user "$(id -un)" -p Linger 2>/dev/null)"
        tell user_manager "$(limited 5 systemctl --user is-system-running 2>/dev/null)"
    fi
    if command -v sbatch >/dev/null 2>&1; then
        tell sbatch "$(limited 10 sbatch --version 2>&1 | first_line)"
        limited 10 sinfo --noheader --format=%R 2>/dev/null | sort -u | while read -r name; do tell partition "$name"; done
    fi
    command -v quota >/dev/null 2>&1 && limited 10 quota -w -p 2>/dev/null | while read -r line; do tell quota "$line"; done
}

gpus() {
    command -v nvidia-smi >/dev/null 2>&1 || return 0
    if said=$(limited 20 nvidia-smi --query-gpu=driver_version,name --format=csv,noheader 2>&1); then
        printf '%s\n' "$said" | while read -r line; do tell gpu "$line"; done
        tell cuda "$(limited 20 nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p')"
    else
        tell gpu_failed "$(printf '%s\n' "$said" | first_line)"
    fi
}

python_environment() {
    python=$environment/bin/python
    [ -e "$python" ] || return 0
    tell environment yes
    [ -e "$environment/vivavoce-setup.json" ] && tell stamp "$(tr -d '\n\t' <"$environment/vivavoce-setup.json")"
    limited 90 "$python" -c '
import sys
sys.path[:] = filter(None, sys.path)  # a folder `vivavoce` in the home folder is not what is installed
def tell(key, value):
    print("env_%s\t%s" % (key, " ".join(str(value).split())))
tell("python", "%d.%d.%d" % sys.version_info[:3])
try:
    import vivavoce
    tell("vivavoce", vivavoce.__version__)
except Exception as error:
    tell("vivavoce_failed", "%s: %s" % (type(error).__name__, error))
try:
    import torch
    tell("torch", torch.__version__)
    tell("cuda", torch.version.cuda or "")
    tell("gpus", torch.cuda.device_count() if torch.cuda.is_available() else 0)
except Exception as error:
    tell("torch_failed", "%s: %s" % (type(error).__name__, error))
' 2>/dev/null || tell env_failed "$?"
}

system
temporary
pythons
for folder in "$@"; do disk "$folder"; done
tools
gpus
python_environment
tell end ok
