package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Check implements keys.Checker: the members that the URL names, their leader, and the
// alarms of the cluster.
func (s *Store) Check(ctx context.Context) ([]keys.CheckResult, error) {
	if _, err := s.read(ctx); err != nil {
		return nil, err
	}
	return append(s.checkMembers(ctx), s.checkSize(ctx), s.checkAlarms(ctx)), ctx.Err()
}

// checkMembers asks each member that the URL names.
func (s *Store) checkMembers(ctx context.Context) []keys.CheckResult {
	var failures []string
	var leaders []uint64
	for _, endpoint := range s.client.Endpoints() {
		answer, err := s.status(ctx, endpoint)
		switch {
		case isDenied(err):
			return []keys.CheckResult{notPermitted("etcd_members"), notPermitted("etcd_leader")}
		case err != nil:
			problem, _ := diagnose(err)
			failures = append(failures, fmt.Sprintf("the member %s cannot be asked: %s", withoutScheme(endpoint), problem))
			continue
		case answer.IsLearner:
			failures = append(failures, fmt.Sprintf("the member %s is still a learner", withoutScheme(endpoint)))
		}
		for _, text := range answer.Errors {
			failures = append(failures, fmt.Sprintf("the member %s says: %s", withoutScheme(endpoint), text))
		}
		leaders = append(leaders, answer.Leader)
	}
	members := result("etcd_members", failures, fmt.Sprintf("each of the %d that the URL names answers", len(leaders)))
	failures = nil
	slices.Sort(leaders)
	if leaders = slices.Compact(leaders); len(leaders) != 1 || leaders[0] == 0 {
		failures = []string{"the members do not agree on a leader: check that they reach each other"}
	}
	return append(members, result("etcd_leader", failures, "the members agree on it")...)
}

func (s *Store) status(ctx context.Context, endpoint string) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return s.client.Status(ctx, endpoint)
}

// checkSize says how many members may fail.
func (s *Store) checkSize(ctx context.Context) keys.CheckResult {
	const name = "etcd_size"
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	answer, err := s.client.MemberList(ctx)
	if err != nil {
		return notRun(name, err)
	}
	voters := 0
	for _, m := range answer.Members {
		if !m.IsLearner {
			voters++
		}
	}
	return keys.CheckResult{Check: name, Status: keys.CheckOK, Detail: fmt.Sprintf("%d voting members: %d may fail", voters, (voters-1)/2)}
}

func (s *Store) checkAlarms(ctx context.Context) keys.CheckResult {
	const name = "etcd_alarms"
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	answer, err := s.client.AlarmList(ctx)
	if err != nil {
		return notRun(name, err)
	}
	var alarms []string
	for _, a := range answer.Alarms {
		alarms = append(alarms, a.Alarm.String())
	}
	if len(alarms) == 0 {
		return keys.CheckResult{Check: name, Status: keys.CheckOK, Detail: "none"}
	}
	return keys.CheckResult{Check: name, Status: keys.CheckFinding, Detail: "there is an alarm: " + strings.Join(alarms, ", ") + ": see 'etcdctl alarm list'"}
}

// result is ok, or one finding for each failure.
func result(name string, failures []string, ok string) []keys.CheckResult {
	if len(failures) == 0 {
		return []keys.CheckResult{{Check: name, Status: keys.CheckOK, Detail: ok}}
	}
	var results []keys.CheckResult
	for _, f := range failures {
		results = append(results, keys.CheckResult{Check: name, Status: keys.CheckFinding, Detail: f})
	}
	return results
}

func isDenied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

// notPermitted is the result of a check that needs more rights than a signer has.
func notPermitted(name string) keys.CheckResult {
	return keys.CheckResult{Check: name, Status: keys.CheckNotRun, Detail: "the user of this URL may not ask: check it with 'etcdctl endpoint status' as root"}
}

// notRun is the result of a check that failed.
func notRun(name string, err error) keys.CheckResult {
	if isDenied(err) {
		return notPermitted(name)
	}
	problem, hint := diagnose(err)
	return keys.CheckResult{Check: name, Status: keys.CheckNotRun, Detail: problem + ": " + hint}
}

// withoutScheme is the host and port of an endpoint.
func withoutScheme(endpoint string) string {
	_, host, found := strings.Cut(endpoint, "://")
	if !found {
		return endpoint
	}
	return host
}
