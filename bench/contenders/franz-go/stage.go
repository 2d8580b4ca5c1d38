package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mostPolled is how many records are taken at once.
const mostPolled = 10_000

// Stage is a process that reads, computes, writes and commits.
type Stage struct {
	options   Options
	apply     Step
	isKeyed   bool
	client    *kgo.Client
	session   *kgo.GroupTransactSession // nil without transactions
	changelog Changelog
	states    map[int32]map[string]*State // of the partitions that are restored
	changed   map[int32][]*State          // since the last commit
	pending   bool                        // whether there is something to commit
	failed    atomic.Pointer[error]       // what a promise was told
}

// NewStage joins the group once no predecessor can write any more.
func NewStage(ctx context.Context, options Options) (*Stage, error) {
	step, found := steps[options.step]
	if !found {
		return nil, fmt.Errorf("there is no step %q", options.step)
	}
	stage := &Stage{options: options, apply: step.apply, isKeyed: step.isKeyed}
	stage.forget()
	changelog := options.name + "-changelog"
	forget := func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
		for _, partition := range revoked[options.from] {
			delete(stage.states, partition)
			delete(stage.changed, partition)
		}
	}
	settings := []kgo.Opt{
		kgo.SeedBrokers(options.brokers...),
		kgo.ConsumerGroup(options.name),
		kgo.InstanceID(options.name + "-1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(forget),
		kgo.OnPartitionsLost(forget),
		kgo.DefaultProduceTopic(options.to),
		kgo.RecordPartitioner(ByTopic{changelog}),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	var err error
	if options.exactlyOnce {
		settings = append(settings, kgo.TransactionalID(options.name))
		stage.session, err = kgo.NewGroupTransactSession(settings...)
		if err == nil {
			stage.client = stage.session.Client()
			// Fences a predecessor, and aborts what it has left.
			_, _, err = stage.client.ProducerID(ctx)
		}
	} else {
		stage.client, err = kgo.NewClient(append(settings, kgo.DisableAutoCommit())...)
	}
	if err != nil {
		return nil, err
	}
	stage.changelog = Changelog{options.brokers, changelog, kadm.NewClient(stage.client)}
	if stage.isKeyed {
		if err := stage.changelog.create(ctx, options.from); err != nil {
			return nil, err
		}
	}
	stage.client.AddConsumeTopics(options.from)
	return stage, nil
}

// Run goes on until an error.
func (stage *Stage) Run(ctx context.Context) error {
	last := time.Now()
	for {
		fetches := stage.poll(ctx, last)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if fetches.NumRecords() > 0 {
			if err := stage.process(ctx, fetches); err != nil {
				return err
			}
		}
		if stage.pending && time.Since(last) >= stage.options.commit {
			if err := stage.commit(ctx); err != nil {
				return err
			}
			last = time.Now()
		}
		if !stage.pending {
			stage.client.AllowRebalance()
		}
	}
}

// poll waits for records, but not longer than until the next commit.
func (stage *Stage) poll(ctx context.Context, last time.Time) kgo.Fetches {
	if !stage.pending {
		return stage.client.PollRecords(ctx, mostPolled)
	}
	ctx, cancel := context.WithDeadline(ctx, last.Add(stage.options.commit))
	defer cancel()
	return stage.client.PollRecords(ctx, mostPolled)
}

func (stage *Stage) process(ctx context.Context, fetches kgo.Fetches) error {
	if !stage.pending && stage.session != nil {
		if err := stage.session.Begin(); err != nil {
			return err
		}
	}
	stage.pending = true
	var failure error
	fetches.EachPartition(func(part kgo.FetchTopicPartition) {
		if failure == nil && len(part.Records) > 0 {
			failure = stage.processPartition(ctx, part.Partition, part.Records)
		}
	})
	return failure
}

// processPartition writes the results into few large pieces of memory.
func (stage *Stage) processPartition(ctx context.Context, part int32, records []*kgo.Record) error {
	states := stage.states[part]
	if stage.isKeyed && states == nil {
		restored, err := stage.changelog.restore(ctx, part)
		if err != nil {
			return err
		}
		states = restored
		stage.states[part] = states
	}
	results := make([]kgo.Record, len(records))
	size := 0
	for _, record := range records {
		size += len(record.Value) + 24
	}
	text := make([]byte, 0, size)
	var reading Reading
	for at, record := range records {
		result := &results[at]
		result.Key, result.Timestamp = record.Key, record.Timestamp
		if stage.apply == nil {
			result.Value = record.Value
		} else {
			if err := reading.parse(record.Value); err != nil {
				return fmt.Errorf("offset %d of partition %d: %w", record.Offset, part, err)
			}
			if !stage.apply(&reading, stage.state(part, states, reading.sensor)) {
				continue
			}
			begin := len(text)
			text = reading.append(text)
			result.Value = text[begin:]
		}
		stage.client.Produce(ctx, result, stage.promise)
	}
	return nil
}

// state is the state of a sensor, which is written with the next commit.
func (stage *Stage) state(part int32, states map[string]*State, sensor string) *State {
	if !stage.isKeyed {
		return nil
	}
	state := states[sensor]
	if state == nil {
		// The reading's text lasts as long as the record.
		name := string([]byte(sensor))
		state = &State{sensor: name, numbers: make([]float64, 0, Window)}
		states[name] = state
	}
	if !state.changed {
		state.changed = true
		stage.changed[part] = append(stage.changed[part], state)
	}
	return state
}

// promise keeps the first error. There is one promise, so no record has a closure of its own.
func (stage *Stage) promise(_ *kgo.Record, err error) {
	if err != nil {
		stage.failed.CompareAndSwap(nil, &err)
	}
}

func (stage *Stage) commit(ctx context.Context) error {
	for part, states := range stage.changed {
		for _, state := range states {
			state.changed = false
			stage.client.Produce(ctx, &kgo.Record{
				Topic:     stage.changelog.topic,
				Partition: part,
				Key:       []byte(state.sensor),
				Value:     state.bytes(),
			}, stage.promise)
		}
		stage.changed[part] = states[:0]
	}
	stage.pending = false
	if stage.session == nil {
		if err := stage.client.Flush(ctx); err != nil {
			return err
		}
		if err := stage.failed.Load(); err != nil {
			return *err
		}
		return stage.client.CommitUncommittedOffsets(ctx)
	}
	if err := stage.client.Flush(ctx); err != nil {
		return err
	}
	failed := stage.failed.Swap(nil)
	committed, err := stage.session.End(ctx, failed == nil)
	if err == nil && failed != nil {
		err = *failed
	}
	if !committed {
		stage.forget()
	}
	return err
}

// forget has the states restored before they are used again.
func (stage *Stage) forget() {
	stage.states = make(map[int32]map[string]*State)
	stage.changed = make(map[int32][]*State)
}
