// Package config turns a settings file, the environment and flags into one
// validated Config. It is the only user of viper.
//
// A setting has one name in three spellings:
//
//	rotation_interval: 12h              the file named by --config or JWKSCTL_CONFIG
//	JWKSCTL_ROTATION_INTERVAL=12h       the environment; an empty variable counts as unset
//	--rotation-interval 12h             the command line
//
// A flag wins over a variable, a variable over the file, the file over the
// default. All three spellings, the defaults and the help texts come from one
// table; see Keys.
//
// A file is YAML, TOML or JSON, as its extension says: one flat map of
// lower-case keys. Values follow the same rules in all three places:
//
//	duration   with a unit: 30s, 1h30m, and d for a day of 24 hours: 7d, 1d12h
//	number     decimal, without leading zeros: YAML reads 010 as 8
//	bool       true or false, nothing else
//	list       text is split on commas and trimmed; a file may have a list, a flag may be repeated
//	auto       as if not given, for settings whose default is derived from others
//
// Mistakes are errors and never ignored: unknown keys and JWKSCTL_ variables,
// keys in the wrong case, duplicate keys, nested and merged maps, keys without a value,
// values of the wrong type, paths with ~ or a variable that only a shell would expand.
// The only exceptions are the variables that Kubernetes and container links set for a
// service whose name begins with jwksctl.
//
// The package looks for no file by itself and reads only the environment that is
// passed to it. It does not check whether an algorithm exists or whether the
// durations of a policy fit together, because only package keys knows that.
package config
