package leadfile

// Alias is one of the names of columns that are recognised.
type Alias struct{ Field, Name, From string }

// Aliases are all of them.
var Aliases = func() (all []Alias) {
	for _, a := range aliases {
		all = append(all, Alias{a.field, a.name, a.from})
	}
	return all
}()
