package fileaccess

import "io/fs"

func factsOf(string, fs.FileInfo) (facts, bool) { return facts{}, false }
