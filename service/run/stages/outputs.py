"""Names of the files in a job folder that stages leave for each other."""

SUPERNET = "supernet.safetensors"
JOURNAL = "search/journal.jsonl"
FRONT = "front.json"
RESULT = "result.json"
