"""What kind of file system a path is on: embedded databases must not be on a network one."""

from __future__ import annotations

import os
from pathlib import Path

_NETWORK = frozenset({
    "nfs", "nfs3", "nfs4", "lustre", "gpfs", "mmfs", "beegfs", "fhgfs", "cifs", "smb", "smb2", "smb3", "smbfs",
    "fuse.sshfs", "ceph", "fuse.ceph", "panfs", "pvfs2", "orangefs", "afs", "openafs", "glusterfs", "fuse.glusterfs",
    "fuse.cvmfs", "9p", "ncpfs", "wekafs", "quobyte", "fuse.quobyte", "vast", "fuse.juicefs", "fuse.s3fs",
    "fuse.rclone", "davfs", "fuse.davfs", "dvs", "gfs2", "ocfs2",
})  # fmt: skip


def read_mounts() -> str:
    """The table of mounted file systems, in the format of ``/proc/mounts``; empty where there is none."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescape(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def find_filesystem(path: Path, mounts: str | None = None) -> tuple[str, str]:
    """Mount point and type of the file system that ``path`` is on (or will be on); ``("", "")`` if unknown."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in (read_mounts() if mounts is None else mounts).splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = _unescape(fields[1])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two mounts at one point the later one is seen
            best, kind = point, fields[2]
    return best, kind


def is_network(kind: str) -> bool:
    """Whether a type of file system is shared over a network."""
    return kind in _NETWORK
