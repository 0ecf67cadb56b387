"""Names of the files in a job folder that stages leave for each other."""

SUPERNET = "supernet.safetensors"
ADAPTED = "adapted.safetensors"
"""The supernet as it was when its largest network alone had been trained; where nothing followed, it is `SUPERNET`."""
JOURNAL = "search/journal.jsonl"
FRONT = "front.json"
RESULT = "result.json"
LEARNED = "learned.json"
