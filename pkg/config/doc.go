// Package config turns a settings file, the environment and flags into one
// validated Config. It is the only user of viper.
//
// A setting has one name in three spellings:
//
//	rotation_interval: 12h              the file named by --config or JWKSCTL_CONFIG
//	JWKSCTL_ROTATION_INTERVAL=12h       the environment; an empty variable counts as unset
//	--rotation-interval 12h             the command line
//
// The flag wins over the variable, the variable over the file, the file over
// the default. One table (see Keys) gives all three spellings, the defaults and
// the help texts.
//
// A file is YAML, TOML or JSON, as its extension says: one flat map of
// lower-case keys. Values follow the same rules wherever they are written:
//
//	duration   a unit is demanded: 30s, 1h30m, and d for a day of 24 hours: 7d, 1d12h
//	bool       true or false, nothing else
//	list       text is split on commas and trimmed; a file may hold a list, a flag be repeated
//	auto       "not stated", for the settings whose default is derived from others
//
// What is not understood is refused, never passed over: unknown keys and
// JWKSCTL_ variables, keys in the wrong case, keys stated twice, nested maps,
// keys without a value, values of the wrong type. The only exception is what
// Kubernetes and container links put in the environment for a service whose
// name begins with jwksctl.
//
// The package looks for no file on its own, reads no environment but the one
// it is given, and does not judge what only the domain can: whether an
// algorithm exists, and whether the durations of a policy fit together.
package config
