// A Go program: a runtime of its own with threads, goroutines, a collector and huge reservations.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

func main() {
	var group sync.WaitGroup
	var lock sync.Mutex
	count := 0
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(time.Millisecond)
			lock.Lock()
			count++
			lock.Unlock()
		}()
	}
	group.Wait()
	table := map[string]int{}
	for i := 0; i < 10000; i++ {
		table[fmt.Sprint(i)] = i
	}
	runtime.GC()
	output, failure := exec.Command("/bin/echo", "child").Output()
	_, refusal := net.Listen("tcp", "127.0.0.1:0")
	if count != 100 || len(table) != 10000 || string(output) != "child\n" || failure != nil ||
		refusal != nil || len(os.Args) != 2 || os.Args[1] != "argument" {
		fmt.Println("go:", count, len(table), output, failure, refusal, os.Args)
		os.Exit(1)
	}
	fmt.Println("go: all well")
	os.Exit(42)
}
