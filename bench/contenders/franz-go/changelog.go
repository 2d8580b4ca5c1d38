package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// restoreTime is how long the end of a changelog is waited for.
const restoreTime = time.Minute

// Changelog is a compacted topic with the last state of each sensor. Its partitions are those of
// the topic that is read.
type Changelog struct {
	brokers []string
	topic   string
	admin   *kadm.Client
}

// create makes the topic unless it is there.
func (log *Changelog) create(ctx context.Context, from string) error {
	topics, err := log.admin.ListTopics(ctx, from)
	if err != nil {
		return err
	}
	if err := topics[from].Err; err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	compact := "compact"
	configs := map[string]*string{"cleanup.policy": &compact}
	partitions := int32(len(topics[from].Partitions))
	_, err = log.admin.CreateTopic(ctx, partitions, -1, configs, log.topic)
	if err != nil && err != kerr.TopicAlreadyExists {
		return fmt.Errorf("creating %s: %w", log.topic, err)
	}
	return nil
}

// restore reads the states of a partition up to its end.
func (log *Changelog) restore(ctx context.Context, partition int32) (map[string]*State, error) {
	states := make(map[string]*State)
	starts, err := log.admin.ListStartOffsets(ctx, log.topic)
	if err != nil {
		return nil, err
	}
	ends, err := log.admin.ListEndOffsets(ctx, log.topic)
	if err != nil {
		return nil, err
	}
	start, hasStart := starts.Lookup(log.topic, partition)
	end, hasEnd := ends.Lookup(log.topic, partition)
	if !hasStart || !hasEnd || start.Err != nil || end.Err != nil {
		return nil, fmt.Errorf("partition %d of %s has no offsets", partition, log.topic)
	}
	if start.Offset >= end.Offset {
		return states, nil
	}
	// Only the marker of the last transaction shows that everything before it is here.
	reader, err := kgo.NewClient(
		kgo.SeedBrokers(log.brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			log.topic: {partition: kgo.NewOffset().At(start.Offset)},
		}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	for next := start.Offset; next < end.Offset; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("restoring %s: %w", log.topic, err)
		}
		for _, record := range fetches.Records() {
			next = record.Offset + 1
			if record.Attrs.IsControl() {
				continue
			}
			state, err := parseState(string(record.Key), record.Value)
			if err != nil {
				return nil, err
			}
			states[state.sensor] = state
		}
	}
	return states, nil
}
