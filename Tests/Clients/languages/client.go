// What a Go program does with redigo: commands, a pipeline, a transaction, an error, a discarded transaction.
// usage: client PORT INDEX USER ITEM OTHER. Prints one JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/gomodule/redigo/redis"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	port, index, user, item, other := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	limit := 10 * time.Second
	c, err := redis.Dial("tcp", "127.0.0.1:"+port, redis.DialConnectTimeout(limit), redis.DialReadTimeout(limit),
		redis.DialWriteTimeout(limit), redis.DialClientName("redigo"))
	check(err)
	defer c.Close()
	out := map[string]interface{}{}
	out["ping"], err = redis.String(c.Do("PING"))
	check(err)
	out["topk"], err = redis.Strings(c.Do("TOPK", user, 5, "INDEX", index))
	check(err)
	numbers := []int{}
	for i := 0; i < 500; i++ {
		check(c.Send("ECHO", i))
	}
	check(c.Flush())
	for i := 0; i < 500; i++ {
		number, err := redis.Int(c.Receive())
		check(err)
		numbers = append(numbers, number)
	}
	out["pipeline"] = numbers
	live := user + "-go"
	check(c.Send("MULTI"))
	check(c.Send("EVENT", live, item))
	check(c.Send("EVENT", live, other))
	check(c.Send("SEEN", live))
	replies, err := redis.Values(c.Do("EXEC"))
	check(err)
	seen, err := redis.Strings(replies[2], nil)
	check(err)
	out["exec"] = []interface{}{replies[0], replies[1], seen}
	check(c.Send("MULTI"))
	check(c.Send("EVENT", live, item))
	check(c.Send("EVENT", live, "absent"))
	_, err = c.Do("EXEC")
	out["refused"] = fmt.Sprint(err)
	out["seen"], err = redis.Strings(c.Do("SEEN", live))
	check(err)
	_, err = c.Do("TOPK", "nobody at all", 5, "INDEX", index)
	out["error"] = fmt.Sprint(err)
	check(json.NewEncoder(os.Stdout).Encode(out))
}
