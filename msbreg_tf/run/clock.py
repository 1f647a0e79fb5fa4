"""How long something takes, in words."""


def duration(seconds: float) -> str:
    """In words: "2 h 05 min" or "4 min 30 s"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
