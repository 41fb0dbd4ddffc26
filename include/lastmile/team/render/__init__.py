"""One message as each of its readers sees it. Pure: a message in, a document out."""
