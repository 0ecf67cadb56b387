"""`nas export`: files of the members of a front, compared with the networks they were written from."""
