package audit

import "time"

// Kind says what happened.
type Kind string

// The kinds.
const (
	TokenIssued    Kind = "token_issued"
	TokenRefused   Kind = "token_refused"
	KeyChanged     Kind = "key_changed"
	SettingChanged Kind = "setting_changed"
	ClientsChanged Kind = "clients_changed"
)

// Event is one line of the log. Members that do not apply are left out.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"event"`

	// Who asked, and how.
	RequestID string `json:"request_id,omitempty"`
	Route     string `json:"route,omitempty"`   // such as /oauth2/token
	Command   string `json:"command,omitempty"` // such as "keys revoke", if no request asked
	User      string `json:"user,omitempty"`    // of the operating system, who ran the command
	Address   string `json:"address,omitempty"` // of the client
	Client    string `json:"client,omitempty"`  // client_id; of a refusal, as the request claims
	Method    string `json:"method,omitempty"`  // how the client authenticated

	// The token.
	ID        string   `json:"jti,omitempty"`
	KeyID     string   `json:"kid,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Scope     string   `json:"scope,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"` // NumericDate
	Expired   bool     `json:"expired,omitempty"`

	// Why: the reason of a refusal or of a revocation, the step of a key, or a setting.
	Error   string `json:"error,omitempty"` // as the client got it, such as invalid_client
	Reason  string `json:"reason,omitempty"`
	Step    string `json:"step,omitempty"`
	Forced  bool   `json:"forced,omitempty"`  // the step was taken before its time
	Version uint64 `json:"version,omitempty"` // of the keyset after the step
	Setting string `json:"setting,omitempty"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
}

// texts are the members that a client or a user may have written.
func (e *Event) texts() []*string {
	return []*string{
		&e.RequestID, &e.Route, &e.Command, &e.User, &e.Address, &e.Client, &e.Method,
		&e.ID, &e.KeyID, &e.Subject, &e.Scope, &e.Error, &e.Reason, &e.Step, &e.Setting, &e.Old, &e.New,
	}
}
