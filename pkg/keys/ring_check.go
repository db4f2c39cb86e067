package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkTimeout is how long the checks of an engine may take. Some ask several servers.
const checkTimeout = 30 * time.Second

// Check checks the keyset of a store that processes may be using. Without a Sealer it does
// not open the private keys, and says so. A change during the check is no finding. The
// error is ErrNoKeyset, or a store that cannot be read.
func Check(ctx context.Context, o Options) ([]CheckResult, error) {
	r := newRing(o)
	var results checkResults
	var err error
	for range maxAttempts {
		results, err = r.checkOnce(ctx)
		if !errors.Is(err, errChangedDuringRead) {
			break
		}
	}
	if errors.Is(err, ErrNoKeyset) {
		return nil, err
	}
	engine, ok := o.Store.(Checker)
	if !ok {
		return results, unavailable(err)
	}
	engineCtx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	more, engineErr := engine.Check(engineCtx)
	engineErr = ExplainTimeout(engineErr)
	// A read may fail because the engine's files are damaged.
	if err != nil && (engineErr != nil || !hasFinding(more)) {
		return nil, unavailable(err)
	}
	if err != nil {
		results.add("private_keys", CheckNotRun, "the store could not be read: "+err.Error())
	}
	return append(results, more...), unavailable(engineErr)
}

func unavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func hasFinding(results []CheckResult) bool {
	return slices.ContainsFunc(results, func(c CheckResult) bool { return c.Status == CheckFinding })
}

// checkOnce checks one version of the keyset. The error is errChangedDuringRead if that
// changed meanwhile.
func (r *Ring) checkOnce(ctx context.Context) (checkResults, error) {
	at := r.clock.read()
	rec, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	var results checkResults
	ks, err := parseKeyset(rec.Document)
	if err != nil {
		results.add("document", CheckFinding, "it cannot be used: "+err.Error())
		results.add("private_keys", CheckNotRun, "the document cannot be used")
		return results, nil
	}
	v := &view{ks: ks, document: rec.Document, storeTime: storeTime{rec.Now, at, r.clock.readUnchecked()}}
	results.add("document", CheckOK, fmt.Sprintf("keyset %s with %d keys", ks.ID, len(ks.allKeys())))
	r.checkDocument(&results, rec, v)
	if err := r.checkPrivateKeys(ctx, &results, ks); err != nil {
		return results, err
	}
	again, err := r.load(ctx)
	if err == nil && (again.Version != rec.Version || !bytes.Equal(again.Document, rec.Document)) {
		err = errChangedDuringRead
	}
	return results, err
}

// checkDocument runs the checks that need the document alone.
func (r *Ring) checkDocument(results *checkResults, rec Record, v *view) {
	ks := v.ks
	var findings []string
	if ks.Version != rec.Version {
		findings = append(findings, fmt.Sprintf("the document says version %d, the store says %d", ks.Version, rec.Version))
	}
	results.addFindings("version", findings, fmt.Sprintf("version %d, epoch %d", ks.Version, ks.Epoch))
	if err := ks.checkMoved(); err != nil {
		results.add("moved", CheckFinding, err.Error())
	}
	findings = nil
	if err := ks.checkEngine(r.store, raiseClockSkew); err != nil {
		findings = append(findings, err.Error())
	}
	results.addFindings("clock_skew", findings, fmt.Sprintf("%v, long enough for the engine", ks.Policy.ClockSkew))
	r.checkWitness(results, v)
	results.addFindings("stamps", ks.findStamps(), "in order")
	findings = nil
	now := r.clock.readUnchecked()
	r.clock.setPolicy(ks)
	if refusal := r.clock.check(now, ks, v.storeTime); refusal != nil {
		findings = append(findings, refusal.Text)
	}
	results.addFindings("clock", findings, "this machine's clock agrees with the keyset")
}

func (r *Ring) checkWitness(results *checkResults, v *view) {
	const name = "witness"
	if r.witness == nil {
		results.add(name, CheckNotRun, "this store has no witness")
		return
	}
	seen, document, err := loadWitness(r.witness, v)
	switch refused := v.ks.checkNotRestored(seen); {
	case v.ks.MovedTo != "":
		results.add(name, CheckNotRun, "the keyset was moved to another store")
	case err != nil:
		results.add(name, CheckFinding, err.Error())
	case refused != nil:
		results.add(name, CheckFinding, refused.Error())
	case document == nil:
		results.add(name, CheckNotRun, "this machine has not seen this keyset before")
	default:
		results.add(name, CheckOK, "the store lacks nothing that this machine has seen")
	}
}

// checkPrivateKeys compares the private keys in the store with the document, and opens
// them.
func (r *Ring) checkPrivateKeys(ctx context.Context, results *checkResults, ks Keyset) error {
	stored, err := r.sealedKeyIDs(ctx)
	if err != nil {
		return err
	}
	slices.Sort(stored)
	known := ks.privateKeys()
	var missing, orphans []string
	for _, k := range ks.signers() {
		if !slices.Contains(stored, k.KeyID()) {
			missing = append(missing, fmt.Sprintf("the private key of key %s is missing: 'jwksctl keys rotate' or 'jwksctl keys revoke' replaces the key", k.KeyID()))
		}
	}
	for _, kid := range stored {
		switch {
		case slices.Contains(known, kid):
		case ks.contains(kid):
			orphans = append(orphans, fmt.Sprintf("the private key of key %s should have been deleted", kid))
		default:
			orphans = append(orphans, fmt.Sprintf("the private key of %.60q belongs to no key of the keyset", kid))
		}
	}
	results.addFindings("private_keys", missing, fmt.Sprintf("%d stored, none is missing", len(stored)))
	results.addFindings("orphans", orphans, "every stored private key belongs to the keyset")
	return r.checkOpen(ctx, results, ks, stored)
}

// checkOpen opens each private key that belongs to the keyset.
func (r *Ring) checkOpen(ctx context.Context, results *checkResults, ks Keyset, stored []string) error {
	const name = "private_keys_open"
	if r.sealer == nil {
		results.add(name, CheckNotRun, "there is no sealing key on this machine")
		return nil
	}
	switch err := r.checkSealingKey(ctx, ks); {
	case errors.Is(err, ErrSealingKey):
		results.add("sealing_key", CheckFinding, err.Error())
		results.add(name, CheckNotRun, "the sealing key is missing")
		return nil
	case err != nil:
		return err
	}
	results.add("sealing_key", CheckOK, r.describeSealingKeys(ks))
	var findings []string
	opened := 0
	for _, k := range ks.allKeys() {
		kid := k.KeyID()
		if !slices.Contains(ks.privateKeys(), kid) || !slices.Contains(stored, kid) {
			continue
		}
		_, err := r.openPrivateKey(ctx, k.JWK, ks.SealingKey)
		switch {
		case errors.Is(err, ErrNoPrivateKey):
			return errChangedDuringRead
		case errors.Is(err, ErrUnavailable):
			return err
		case err != nil:
			findings = append(findings, fmt.Sprintf("the private key of key %s cannot be opened: %v", kid, err))
		}
		opened++
	}
	results.addFindings(name, findings, fmt.Sprintf("%d opened, each belongs to its kid", opened))
	return nil
}

// describeSealingKeys says under which sealing key the private keys are, and for what the
// source has other ones: those behind it wait, the others were used before.
func (r *Ring) describeSealingKeys(ks Keyset) string {
	text := []string{"the private keys are sealed under " + ks.SealingKey}
	names := r.sealer.Names()
	for i, name := range names {
		switch at := slices.Index(names, ks.SealingKey); {
		case i < at:
			text = append(text, fmt.Sprintf("%s has %s too, the key before: remove it there", r.sealer.Source(), name))
		case i > at:
			text = append(text, fmt.Sprintf("%s has %s too, which waits for 'jwksctl seal rotate'", r.sealer.Source(), name))
		}
	}
	return strings.Join(text, "; ")
}
