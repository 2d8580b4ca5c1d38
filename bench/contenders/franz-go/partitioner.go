package main

import "github.com/twmb/franz-go/pkg/kgo"

// ByTopic chooses partitions by Kafka's hash of the key, and those of the changelog by hand.
type ByTopic struct {
	changelog string
}

// ForTopic implements kgo.Partitioner.
func (by ByTopic) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == by.changelog {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic(topic)
}
