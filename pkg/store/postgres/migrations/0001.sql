CREATE TABLE schema_version (
	version integer NOT NULL
);
INSERT INTO schema_version VALUES (0);

CREATE TABLE keyset (
	id       integer PRIMARY KEY CHECK (id = 1),
	version  bigint NOT NULL CHECK (version > 0),
	deadline timestamptz,
	document bytea NOT NULL CHECK (length(document) > 0)
);

-- The collation keeps the index independent of the locales of the system.
CREATE TABLE private_key (
	kid    text COLLATE "C" PRIMARY KEY,
	sealed bytea NOT NULL
);
