"""What every reader of a foreign file refuses before it reads it."""

import zipfile

MAX_BYTES = 2**30  # ten times a ResNet-50; a file that claims more is no encoder of ours


class UnreadableError(Exception):
    """Why a file can't be read, and what to do: sentences without its path."""


def check_archive(archive: zipfile.ZipFile, *, may_be_compressed: bool) -> None:
    """Refuses a zip archive that would unpack to far more than it is.

    Args:
      archive: opened; of its members only the table at its end has been read.
      may_be_compressed: False if the members must stand there as they are.

    Raises:
      UnreadableError: it is too large, or compressed although it must not be.
    """
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise UnreadableError(
            f"it would unpack to {total / 2**20:,.0f} MiB; expected at most "
            f"{MAX_BYTES // 2**20:,}. Give a file that holds an encoder only."
        )
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed and not may_be_compressed:
        raise UnreadableError("its parts are compressed, which no torch.save does. Save it again.")
